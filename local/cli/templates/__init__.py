"""What `tidemill init` writes: each `NAME.tmpl` becomes NAME."""
