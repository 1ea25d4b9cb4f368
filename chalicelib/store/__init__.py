"""The store: DynamoDB, S3 and SQS. The only room that imports PynamoDB."""
