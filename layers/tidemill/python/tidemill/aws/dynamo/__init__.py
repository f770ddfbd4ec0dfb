"""The stores on one DynamoDB table."""
