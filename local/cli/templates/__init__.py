"""What `tidemill init` writes: each `NAME.tmpl` becomes NAME, in the same folder below."""
