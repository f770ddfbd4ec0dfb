"""The runtimes of definitions' steps that every world has: HTTP requests, WebAssembly modules, and the output rules.

Each runtime is one file and implements `task.Runtime`. The runtimes of one world are elsewhere: processes, containers
and Lambdas of this machine in `tidemill_local.runtimes`, those of an AWS account in `tidemill.aws.runtimes`.
"""
