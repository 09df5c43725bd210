"""What agent and host must agree on: addresses, certificates, TLS."""
