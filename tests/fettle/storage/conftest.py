import uuid

import boto3
import pytest

CREDENTIALS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    name = f"fettle-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_endpoint, **CREDENTIALS).create_bucket(Bucket=name)
    return name
