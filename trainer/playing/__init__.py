"""Playing episodes with the networks that are being trained, in this process or in others."""
