"""The OpenAPI documents of hub and node, walked with random requests as each role."""
