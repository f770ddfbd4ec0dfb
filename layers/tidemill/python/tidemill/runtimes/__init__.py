"""What runs the steps of definitions anywhere: an HTTP request, a WebAssembly module, and the rules for outputs.

Each runtime is one file and implements `ports.Runtime`. What only one world has is beside it: folders run as processes,
containers and Lambdas of this machine in `tidemill_local.runtimes`, those of an AWS account in `tidemill.aws`.
"""
