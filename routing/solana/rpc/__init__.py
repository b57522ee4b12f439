"""JSON-RPC to several providers, and the network of `routing.venue` over them."""
