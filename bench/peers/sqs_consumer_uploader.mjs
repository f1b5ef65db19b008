// A peer of our uploader: sqs-consumer and the AWS SDK v3.
//
// As the README of sqs-consumer says: a batch at a time, stored in parallel, and deleted as a batch
// once all of it is stored. Takes our wire format (Kombu's envelope, whose `body` is what has to be
// stored) and our keys. No audit log, metrics or log line.
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const { SQS_QUEUE_URL, S3_BUCKET, S3_PREFIX } = process.env;
const s3 = new S3Client({});

async function store(received) {
  const { body } = JSON.parse(received.Body);
  const { message_id, accepted_at } = JSON.parse(body);
  const day = accepted_at.slice(0, 10).replaceAll("-", "/");
  await s3.send(
    new PutObjectCommand({
      Bucket: S3_BUCKET,
      Key: `${S3_PREFIX}${day}/${message_id}.json`,
      Body: body,
      ContentType: "application/json",
    }),
  );
}

const consumer = Consumer.create({
  queueUrl: SQS_QUEUE_URL,
  sqs: new SQSClient({}),
  batchSize: 10,
  waitTimeSeconds: 20,
  handleMessageBatch: async (messages) => {
    await Promise.all(messages.map(store));
    return messages;
  },
});
for (const event of ["error", "processing_error", "timeout_error"]) {
  consumer.on(event, (error) => console.error(event, error.message));
}
consumer.start();
