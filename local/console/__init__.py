"""What `tidemill dev` prints."""
