"""The shapes of frames that are made of the shapes of HTTP answers, as JSON Schema."""

from orders.api.schema.shapes import COUNT, OFFER, SWAP, Schema, closed

FRAMES: dict[str, Schema] = {
    "QuoteFrame": closed(
        {
            **{"type": {"const": "quote"}, "seq": {"type": "integer", "minimum": 1}},
            **{**SWAP, "slippageBps": COUNT, **OFFER},
        },
        *OFFER,
        description="The answer of `GET /api/quotes`, with a number that grows by 1.",
    ),
}
