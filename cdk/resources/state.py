"""The stored state of a deployment: the table, and the bucket for large values."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from tidemill.aws.dynamo import keys as schema
from tidemill_cdk.checks.nag import accepted, justified
from tidemill_cdk.names import Names
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.settings import Settings

_TEXT = dynamodb.AttributeType.STRING


class State(Construct):
    """One table and one bucket, kept when the stack is deleted (`removal`)."""

    def __init__(self, scope: Construct, id: str, *, names: Names, settings: Settings) -> None:
        super().__init__(scope, id)
        self.table = dynamodb.Table(
            self,
            "Table",
            table_name=names.table,
            partition_key=dynamodb.Attribute(name=schema.PK, type=_TEXT),
            sort_key=dynamodb.Attribute(name=schema.SK, type=_TEXT),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=schema.TTL,
            encryption=dynamodb.TableEncryption.DEFAULT,  # AWS's own key: its requests cost nothing
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True, recovery_period_in_days=35
            ),
            # A failed first deployment could not be repeated: the protected table would block it.
            deletion_protection=settings.table_protection == "on",
            removal_policy=removal(settings),
        )
        for index in schema.INDEXES:
            self.table.add_global_secondary_index(
                index_name=index.name,
                partition_key=dynamodb.Attribute(name=index.pk, type=_TEXT),
                sort_key=dynamodb.Attribute(name=index.sk, type=_TEXT),
                projection_type=dynamodb.ProjectionType.INCLUDE if index.also else dynamodb.ProjectionType.KEYS_ONLY,
                non_key_attributes=list(index.also) or None,
            )
        self.bucket = s3.Bucket(
            self,
            "Payloads",
            bucket_name=names.bucket,
            enforce_ssl=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # No versions: an object is named by its content and never changes.
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(settings.payload_days),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=removal(settings),
        )
        logs = "Access logs would cost more than the payloads; CloudTrail data events can be turned on where needed."
        accepted(self.bucket, "AwsSolutions-S1", logs)
        versions = "An object is named by its content and never changes: there is nothing to go back to."
        justified(self.bucket, {"CKV_AWS_18": logs, "CKV_AWS_21": versions})
        key = "A key of KMS is paid for with each request, and AWS's own encrypts as well."
        justified(self.table, {"CKV_AWS_119": key})
