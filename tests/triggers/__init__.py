"""The engine of triggers beside a plain model: `python -m tests.triggers --seed 7 --ticks 3600`.

Every order is kept in plain Python as well, with its own watermark, and compared with each tick.
Meanwhile evaluators are killed, PostgreSQL is killed, orders are cancelled and amended, and groups
are filled and fail. In the end each order has to have fired at the same tick as in the model, once.
"""
