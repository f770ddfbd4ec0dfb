"""The CDK constructs: Tidemill in an AWS account of your own. They read the manifest, and import no engine."""
