"""The HTTP and queue handlers of the platform, for Lambdas in AWS and for `tidemill dev`."""
