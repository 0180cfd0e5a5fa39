"""The addresses, a file a matter; each gives a router over a service."""
