"""The handlers: what answers in AWS, and the same code behind `tidemill dev`."""
