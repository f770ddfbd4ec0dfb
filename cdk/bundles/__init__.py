"""The uploaded code: bundles, the layer, wheels."""
