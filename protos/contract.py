"""The names of the wire contract that `policy.proto` cannot hold; agent and host read them here."""

SERVICE_NAME = "lan.policy.v1.PolicyService"
ERROR_DOMAIN = "lan.policy.v1"
"""`domain` of the ErrorInfo that comes with every refusal."""
STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""The trailer in which gRPC carries a serialized google.rpc.Status."""
