"""Pages for people who trade: what the server writes into them. The rest they ask of the API."""
