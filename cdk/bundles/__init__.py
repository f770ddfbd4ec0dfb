"""What is uploaded: bundles, the layer, wheels."""
