"""What tests share: clients, engines, servers, stubs and what they are held to."""
