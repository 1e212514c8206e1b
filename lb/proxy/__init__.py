"""The data plane: what happens to a request between the client and a server."""
