// One measured workload of BullMQ, in a process of its own: cell.mjs <work> <redis port> <jobs> <at a time>.
// The last line of its output is the result as JSON. benches/jobs/cell.rs does the same with zpack.
import { Queue, Worker } from 'bullmq';

const [work, port, jobs, width] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const name = 'bench';
const defaultJobOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
const padding = 'x'.repeat(160);
const now = () => Number(process.hrtime.bigint());
const payload = () => ({ sent: now(), padding });
const say = (line) => process.stdout.write(`${line}\n`);

// Runs `done`, which counts, and returns the wall-clock and processor time of this process until it resolves.
async function measured(done) {
  const [began, cpu] = [now(), process.cpuUsage()];
  await done();
  const used = process.cpuUsage(cpu);
  return { seconds: (now() - began) / 1e9, cpu: (used.user + used.system) / 1e6 };
}

async function enqueue() {
  const queue = new Queue(name, { connection, defaultJobOptions });
  await queue.waitUntilReady();
  let left = jobs;
  const result = await measured(() =>
    Promise.all(
      Array.from({ length: width }, async () => {
        while (left-- > 0) await queue.add('job', payload());
      }),
    ),
  );
  await queue.close();
  return result;
}

// Handles `jobs` jobs. Calls `ready` before the first one can be received.
async function handle(ready) {
  const latencies = [];
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const worker = new Worker(name, async (job) => void latencies.push(now() - job.data.sent), {
    connection,
    concurrency: width,
    autorun: false,
  });
  let completed = 0;
  worker.on('completed', () => ++completed === jobs && finish());
  worker.on('error', (error) => say(`error ${error.message}`));
  await worker.waitUntilReady();
  ready();
  const result = await measured(async () => {
    worker.run();
    await finished;
  });
  await worker.close();
  return { result, latencies };
}

async function consume() {
  const { latencies } = await handle(() => setTimeout(() => say('ready'), 300));
  return { latencies };
}

// Enqueues `width` jobs a second, on schedule whatever the responses.
async function produce() {
  const queue = new Queue(name, { connection, defaultJobOptions });
  await queue.waitUntilReady();
  const began = now();
  const open = [];
  for (let sent = 0; sent < jobs; ) {
    const due = Math.min(jobs, Math.floor(((now() - began) / 1e9) * width) + 1);
    for (; sent < due; sent++) open.push(queue.add('job', payload()));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(open);
  await queue.close();
  return {};
}

// Runs a job that reports its start and never ends.
async function hold() {
  const worker = new Worker(name, () => (say('started'), new Promise(() => {})), { connection });
  await worker.waitUntilReady();
  say('ready');
  return new Promise(() => {});
}

const works = { enqueue, drain: async () => (await handle(() => {})).result, consume, produce, hold };
say(JSON.stringify(await works[work]()));
process.exit(0);
