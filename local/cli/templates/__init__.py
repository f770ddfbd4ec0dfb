"""The files that `tidemill init` writes: each `NAME.tmpl` becomes NAME, in the same subfolder."""
