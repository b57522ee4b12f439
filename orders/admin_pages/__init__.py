"""What the pages of operators are made of; `orders/admin` registers those that list rows."""
