"""What an app will cost in AWS: prices and counted calls as data, and the arithmetic between them."""
