// A client of the agents in another language, written from protos/policy.proto and docs/runtime.md alone.
//
//   node client.js HOST:PORT,HOST:PORT,... [FOLDER of lan-certs]
//
// It stands between a game and its agents. The game writes one JSON object per line to stdin, and reads one answer per line:
//   {"episode": "a", "step": 0, "observations": [[...], ...], "available": [[0, 1, ...], ...]}  ->  {"actions": [...]}
//   {"end": "a"}                                                                                ->  {"ended": [true, ...]}
// The first line of its output says who the agents are. An answer {"errors": [...]} says what an agent refused.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const DEADLINE_MS = 5000;
const PROTO = path.join(__dirname, '..', '..', 'protos', 'policy.proto');
const {PolicyService} = grpc.loadPackageDefinition(loader.loadSync(PROTO, {keepCase: true, defaults: true})).lan.policy.v1;

// The details of an error are a google.rpc.Status in the trailer grpc-status-details-bin. These are its parts that
// the agents use, from google/rpc/status.proto and error_details.proto.
const errors = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
`, {keepCase: true}).root;

const [addresses, certificates] = process.argv.slice(2);
if (!addresses) {
  console.error('usage: node client.js HOST:PORT,HOST:PORT,... [FOLDER of lan-certs]');
  process.exit(2);
}

// With TLS, the name to verify is agent-<i>.lan, whatever address agent i has: the addresses are in the order of the ids.
function connect(address, agentId) {
  if (!certificates) return new PolicyService(address, grpc.credentials.createInsecure());
  const read = name => fs.readFileSync(path.join(certificates, name));
  const credentials = grpc.credentials.createSsl(read('ca.pem'), read('host-key.pem'), read('host.pem'));
  const name = `agent-${agentId}.lan`;
  return new PolicyService(address, credentials, {'grpc.ssl_target_name_override': name, 'grpc.default_authority': name});
}

function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + DEADLINE_MS;
    client[method](request, {deadline}, (error, reply) => error ? reject(error) : resolve(reply));
  });
}

// Observations travel as little-endian float32, whatever the byte order of this machine.
function float32(values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return bytes;
}

// Errors of gRPC itself (too large, too many calls, unknown method, deadline) carry no details: reason is then null.
function explained(error) {
  const said = {code: grpc.status[error.code] ?? null, reason: null, message: error.details ?? String(error)};
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!bytes) return said;
  for (const detail of errors.lookupType('Status').decode(bytes).details) {
    if (!detail.type_url.endsWith('/google.rpc.ErrorInfo')) continue;
    const info = errors.lookupType('ErrorInfo').decode(detail.value);
    Object.assign(said, {reason: info.reason, ...info.metadata});
  }
  return said;
}

async function everyAgent(clients, ask, name) {
  const answers = await Promise.allSettled(clients.map(ask));
  const failed = answers.filter(answer => answer.status === 'rejected');
  if (failed.length) return {errors: failed.map(answer => explained(answer.reason))};
  return {[name]: answers.map(answer => answer.value)};
}

function answer(clients, line) {
  if (line.end !== undefined) {
    return everyAgent(clients, async c => (await call(c, 'EndEpisode', {episode_id: line.end})).ended, 'ended');
  }
  return everyAgent(clients, async (client, i) => {
    const reply = await call(client, 'Act', {
      episode_id: line.episode,
      step: line.step,
      observation: float32(line.observations[i]),
      available_actions: Buffer.from(line.available[i]),
    });
    return reply.action;
  }, 'actions');
}

async function main() {
  const clients = addresses.split(',').map(connect);
  const say = value => process.stdout.write(JSON.stringify(value) + '\n');
  const who = await everyAgent(clients, client => call(client, 'Describe', {}), 'agents');
  say(who);
  if (who.errors) return 1;
  for await (const line of readline.createInterface({input: process.stdin})) {
    let asked;
    try {
      asked = JSON.parse(line);
    } catch (error) {
      console.error(`a line of the game is no JSON: ${error.message}`);
      return 2;
    }
    say(await answer(clients, asked));
  }
  clients.forEach(client => client.close());
  return 0;
}

main().then(code => { process.exitCode = code; });
