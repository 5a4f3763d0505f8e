'use strict';
// Handlers of many forms: the event says which one answers.
const os = require('os');
const dep = require('dep');

class Custom extends Error {
  constructor(message) {
    super(message);
    this.name = 'Custom';
    this.code = 'E_CUSTOM';
    this.extra = { a: 1 };
  }
}

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

const answers = {
  'undefined': () => undefined,
  'null': () => null,
  'echo': (e) => e.value,
  'numbers': () => [1, -0, 1.5, 1e100, NaN, Infinity],
  'text': () => ({ a: 'ü€😀\u2028', b: '"\\/\n\x7f\0', c: '\ud800' }),
  'date': () => new Date(0),
  'function': () => () => 1,
  'symbol': () => Symbol('x'),
  'map': () => ({ m: new Map([[1, 2]]), s: new Set([1]), u: new Uint8Array(2), b: Buffer.from('x') }),
  'toJSON': () => ({ toJSON: () => 'json' }),
  'bigint': () => 1n,
  'circular': () => { const a = {}; a.a = a; return a; },
  'large': () => 'x'.repeat(2000000),
  'dependency': () => dep,
  'context': (e, c) => ({
    keys: Object.keys(c).sort(), name: c.functionName, version: c.functionVersion, memory: c.memoryLimitInMB, group: c.logGroupName,
    stream: c.logStreamName, arn: c.invokedFunctionArn, id: c.awsRequestId, client: c.clientContext, identity: c.identity, tenant: c.tenantId,
    left: c.getRemainingTimeInMillis() > 0 && c.getRemainingTimeInMillis() <= 60000, waits: c.callbackWaitsForEmptyEventLoop,
    trace: process.env._X_AMZN_TRACE_ID, argv: process.argv.length > 1,
  }),
  'environment': () => [process.env.AWS_EXECUTION_ENV, process.env._HANDLER, process.env.LAMBDA_TASK_ROOT, process.cwd()],
  'globals': () => [typeof awslambda, typeof awslambda.streamifyResponse, typeof awslambda.HttpResponseStream.from, typeof require, typeof __filename],
  'logs': () => {
    console.log('logged', { a: [1, { b: 2 }] }, 5);
    console.info('%s and %d', 'x', 3, 'more');
    console.debug('debug');
    console.trace('trace');
    console.warn('two\nlines');
    console.error('error', new Custom('x').message);
    console.log();
    console.log(undefined, null, Symbol('s'));
    process.stdout.write('plain\n');
    process.stderr.write('to stderr\n');
  },
  'throw': () => { throw new Custom('thrown'); },
  'throw text': () => { throw 'text'; },
  'throw nothing': () => { throw undefined; },
  'throw object': () => { throw { a: 1 }; },
  'throw number': () => { throw 5; },
  'throw cause': () => { throw new Error('outer', { cause: new TypeError('inner') }); },
  'throw odd name': () => { const e = new Error('m'); e.name = 'ü\x7f name'; throw e; },
  'aggregate': () => { throw new AggregateError([new Error('a')], 'many'); },
  'reference': () => nowhere.x, // eslint-disable-line
  'type': (e) => e.a.b.c,
};

exports.handler = async (event, context) => {
  if (event && event.do) {
    return answers[event.do](event, context);
  }
  return event;
};

exports.sync = (event, context) => answers[event.do](event, context);
exports.callback = (event, context, callback) => {
  if (event.do === 'twice') {
    callback(null, 1);
    callback(null, 2);
    return;
  }
  if (event.do === 'later') {
    setTimeout(() => callback(null, 'later'), 5);
    return;
  }
  if (event.do === 'waits') { // for the timer, since the loop is not empty before
    let fired = false;
    setTimeout(() => { fired = true; }, 20);
    callback(null, { get fired() { return fired; } });
    return;
  }
  if (event.do === 'does not wait') {
    context.callbackWaitsForEmptyEventLoop = false;
    let fired = false;
    const t = setTimeout(() => { fired = true; }, 300);
    callback(null, { get fired() { return fired; } });
    t.unref();
    return;
  }
  if (event.do === 'error') {
    callback(new Custom('called back'));
    return;
  }
  if (event.do === 'error text') {
    callback('text');
    return;
  }
  if (event.do === 'never') {
    return;
  }
  if (event.do === 'succeed') {
    context.succeed({ ok: 1 });
    return;
  }
  if (event.do === 'fail') {
    context.fail(new Custom('failed'));
    return;
  }
  if (event.do === 'fail nothing') {
    context.fail();
    return;
  }
  if (event.do === 'done') {
    context.done(null, 'done');
    return;
  }
  if (event.do === 'thenable') {
    return { then: (ok) => setTimeout(() => ok('thenable'), 1) };
  }
  if (event.do === 'after error') {
    callback(new Error('first'));
    callback(null, 'second');
    return;
  }
  callback(null, event);
};

exports.never = () => new Promise(() => {});
exports.uncaught = async () => { setTimeout(() => { throw new Custom('uncaught'); }, 1); await sleep(5000); };
exports.rejected = async () => { Promise.reject(new Custom('rejected')); await sleep(5000); };
exports.rejectedText = async () => { Promise.reject('text'); await sleep(5000); };
exports.exits = async (code) => { console.log('before'); process.exit(code); };
exports.kills = async () => { process.kill(process.pid, 'SIGKILL'); await sleep(5000); };
exports.deep = { er: { handler: async () => 'deep' } };
exports.number = 5;
exports.background = async (event) => { // what is left of an invocation goes on in the next
  exports.log = exports.log || [];
  setTimeout(() => exports.log.push(event), 1);
  await sleep(10);
  return exports.log;
};
exports.host = async () => os.EOL;

const stream = awslambda.streamifyResponse;
exports.streamed = stream(async (event, out, context) => {
  switch (event.do) {
    case 'chunks':
      out.setContentType('text/plain');
      for (let i = 0; i < 3; i++) {
        out.write(`chunk ${i}.`);
        await sleep(2);
      }
      out.end();
      break;
    case 'pipeline':
      await require('stream/promises').pipeline(require('stream').Readable.from(['a', 'b', Buffer.from('c')]), out);
      break;
    case 'http': {
      const http = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { 'X-A': 'b' } });
      http.write('body');
      http.end();
      break;
    }
    case 'object':
      out.write({ a: 1 });
      out.end();
      break;
    case 'end with':
      out.end('last');
      break;
    case 'empty':
      out.end();
      break;
    case 'large':
      for (let i = 0; i < 200; i++) {
        if (!out.write('x'.repeat(20000))) {
          await new Promise((r) => out.once('drain', r));
        }
      }
      out.end();
      break;
    case 'error before':
      throw new Custom('before');
    case 'error midway':
      out.write('some');
      await sleep(5);
      throw new Custom('midway');
    case 'context':
      out.write(JSON.stringify([context.awsRequestId, typeof context.getRemainingTimeInMillis, context.callback]));
      out.end();
      break;
    case 'returns':
      out.write('x');
      out.end();
      return 'ignored';
    case 'type too late':
      out.write('x');
      await sleep(2);
      try { out.setContentType('text/plain'); } catch (e) { out.write(e.name); }
      out.end();
      break;
    default:
      out.write(JSON.stringify(event));
      out.end();
  }
});
exports.notAsync = stream((event, out) => { out.write('x'); out.end(); });
