"""The output of `tidemill dev`."""
