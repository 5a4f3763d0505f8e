'use strict';
// CloudJIT's runtime client for Node.js: runs the handler that _HANDLER names, as AWS Lambda's own does.
//
// It does what the published aws-lambda-ric does for a function, without its native module, and loads no more than it
// needs. The tests compare the two over many forms of handlers.

const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');

const BASE = '/2018-06-01/runtime/';
const REQUEST = Symbol.for('aws.lambda.runtime.requestId');
const TENANT = Symbol.for('aws.lambda.runtime.tenantId');

// Not changed by what a function does to the globals.
const { parse, stringify } = JSON;
const { setImmediate, process, Promise } = globalThis;

// --- Errors ---

class RuntimeError extends Error {
  constructor(kind, message) {
    super(message);
    Object.defineProperty(this, 'name', { value: `Runtime.${kind}`, enumerable: false, configurable: true, writable: true });
  }
}

function intoError(e) {
  return e instanceof Error ? e : new Error(e);
}

const clean = (s) => (s === undefined || s === null ? s : String(s).replace(/\x7F/g, '%7F'));

/** The document that the platform is told of an error. */
function document(e) {
  try {
    const looksLikeOne = e && ['name', 'message', 'stack'].every((k) => e[k] && typeof e[k] === 'string');
    if (util.types.isNativeError(e) || looksLikeOne) {
      return { errorType: clean(e.name), errorMessage: clean(e.message), trace: clean(e.stack).split('\n') };
    }
    return { errorType: typeof e, errorMessage: e.toString(), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

/** An error for the log. */
function formatted(e) {
  try {
    return '\t' + stringify(e, (_, v) => {
      if (!(v instanceof Error)) {
        return v;
      }
      const all = Object.assign({ errorType: v.name, errorMessage: v.message, code: v.code }, v);
      if (typeof v.stack === 'string') {
        all.stack = v.stack.split('\n');
      }
      return all;
    });
  } catch {
    return '\t' + stringify(document(e));
  }
}

// --- The log ---

const asJSON = String(process.env.AWS_LAMBDA_LOG_FORMAT).toUpperCase() === 'JSON';

function write(text) {
  process.stdout.write(text + '\n');
}

function logText(level, ...message) {
  write(`${new Date().toISOString()}\t${globalThis[REQUEST]}\t${level}\t${util.format(...message)}`);
}

function className(e) {
  return e?.constructor?.name ?? 'UnknownError';
}

function logJSON(level, ...message) {
  const line = { timestamp: new Date().toISOString(), level, requestId: globalThis[REQUEST] };
  if (globalThis[TENANT] !== undefined && globalThis[TENANT] !== null) {
    line.tenantId = globalThis[TENANT];
  }
  const lines = (stack) => (typeof stack === 'string' ? stack.split('\n') : stack);
  if (message.length === 1) {
    line.message = message[0];
    try {
      write(stringify(line, (_, v) => (v instanceof Error
        ? Object.assign({ errorType: className(v), errorMessage: v.message, stackTrace: lines(v.stack) }, v) : v)));
    } catch {
      line.message = util.format(line.message);
      write(stringify(line));
    }
    return;
  }
  line.message = util.format(...message);
  const error = message.find((m) => m instanceof Error);
  if (error) {
    Object.assign(line, { errorType: className(error), errorMessage: error.message, stackTrace: lines(error.stack) ?? [] });
  }
  write(stringify(line));
}

function patchConsole() {
  const log = asJSON ? logJSON : logText;
  const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
  const least = Math.max(levels.indexOf(String(process.env.AWS_LAMBDA_LOG_LEVEL).toUpperCase()), 0);
  levels.forEach((level, i) => {
    // What is fatal is always logged, as by the published client.
    console[level.toLowerCase()] = i >= least || level === 'FATAL' ? (first, ...rest) => log(level, first, ...rest) : () => {};
  });
  console.log = console.info;
}

function logError(what, e) {
  if (asJSON) {
    console.error(intoError(e));
  } else {
    console.error(what, formatted(intoError(e)));
  }
}

// --- The Runtime API ---

const endpoint = process.env.AWS_LAMBDA_RUNTIME_API;
const ATTEMPTS = 3;

/**
 * One connection. What was asked and not answered when it ends is asked again on a new one: to ask for the next event
 * takes nothing that was not delivered, and answers carry the identifier of their invocation.
 */
const api = {
  socket: null,
  data: null, // what was received and belongs to no whole response yet
  asked: [], // requests without a response: {request, resolve, reject, attempts}
  idle: true, // nothing is waited for that has to keep the process alive

  head(method, target, headers = '', length) {
    return `${method} ${BASE}${target} HTTP/1.1\r\nHost: ${endpoint}\r\n${headers}${length === undefined ? '' : `Content-Length: ${length}\r\n`}\r\n`;
  },

  connect() {
    const at = endpoint.lastIndexOf(':');
    const socket = net.connect({ host: endpoint.slice(0, at), port: Number(endpoint.slice(at + 1)), noDelay: true });
    this.socket = socket;
    this.data = null;
    socket.on('data', (chunk) => this.receive(chunk));
    let failure;
    socket.on('error', (e) => { failure = e; });
    socket.on('close', () => this.closed(socket, failure));
    if (this.idle) {
      socket.unref();
    }
  },

  closed(socket, failure) {
    if (this.socket !== socket) {
      return;
    }
    this.socket = null;
    const again = this.asked;
    this.asked = [];
    for (const one of again) {
      if (++one.attempts >= ATTEMPTS || one.request === null) {
        one.reject(failure ?? new Error('the connection to the Runtime API has ended'));
      } else {
        this.send(one);
      }
    }
  },

  send(one) {
    if (this.socket === null) {
      this.connect();
    }
    this.asked.push(one);
    this.socket.write(one.request);
  },

  /** Sends a request; the promise is of the response: {status, headers, body}. */
  ask(request) {
    return new Promise((resolve, reject) => this.send({ request, resolve, reject, attempts: 0 }));
  },

  /** The connection keeps the process alive, or does not. */
  keep(alive) {
    this.idle = !alive;
    if (this.socket !== null) {
      if (alive) {
        this.socket.ref();
      } else {
        this.socket.unref();
      }
    }
  },

  receive(chunk) {
    let data = this.data === null ? chunk : Buffer.concat([this.data, chunk]);
    this.data = null;
    while (data.length > 0) {
      if (this.want > data.length) { // of a large event: do not look at it for each piece
        break;
      }
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) {
        break;
      }
      const lines = data.toString('utf8', 0, end).split('\r\n');
      const headers = {};
      for (let i = 1; i < lines.length; i++) {
        const at = lines[i].indexOf(':');
        headers[lines[i].slice(0, at).toLowerCase()] = lines[i].slice(at + 1).trim();
      }
      const begin = end + 4;
      const length = Number(headers['content-length'] ?? 0);
      if (data.length < begin + length) {
        this.want = begin + length;
        break;
      }
      this.want = 0;
      const body = data.subarray(begin, begin + length);
      data = data.subarray(begin + length);
      const status = Number(lines[0].split(' ')[1]);
      if (status >= 100 && status < 200) {
        continue;
      }
      const one = this.asked.shift();
      if (headers.connection?.toLowerCase() === 'close') {
        const socket = this.socket;
        socket.destroy();
        this.closed(socket);
        data = Buffer.alloc(0);
      }
      one?.resolve({ status, headers, body });
    }
    this.data = data.length > 0 ? data : null;
  },

  want: 0,

  fail(target, error) {
    const doc = document(error);
    const body = stringify(doc);
    const kind = String(doc.errorType).replace(/[^\x21-\x7e]/g, '?') || 'Unhandled';
    return this.ask(this.head('POST', target, `Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: ${kind}\r\n`,
      Buffer.byteLength(body)) + body);
  },
};

// --- Finding the handler ---

function hasModuleType(folder) {
  if (folder.endsWith('/node_modules')) {
    return false;
  }
  const file = path.join(folder, 'package.json');
  if (fs.existsSync(file)) {
    try {
      return parse(fs.readFileSync(file)).type === 'module';
    } catch (e) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, e);
      return false;
    }
  }
  return folder === '/' ? false : hasModuleType(path.resolve(folder, '..'));
}

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const importIt = (f) => import(require('url').pathToFileURL(f).href);
  if (fs.existsSync(file) && !fs.statSync(file).isDirectory()) {
    return require(file);
  }
  const js = fs.existsSync(file + '.js');
  if (js) {
    return hasModuleType(path.dirname(file)) ? importIt(file + '.js') : require(file + '.js');
  }
  if (fs.existsSync(file + '.mjs')) {
    return importIt(file + '.mjs');
  }
  if (fs.existsSync(file + '.cjs')) {
    return require(file + '.cjs');
  }
  return require(require.resolve(name, { paths: [root, folder] }));
}

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

class HttpResponseStream {
  static from(stream, prelude) {
    stream.setContentType('application/vnd.awslambda.http-integration-response');
    stream._onBeforeFirstWrite = (send) => {
      send(stringify(prelude));
      send(new Uint8Array(8));
    };
    return stream;
  }
}

function offerGlobals() {
  if (['1', 'true'].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) {
    return;
  }
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (typeof options?.highWaterMark === 'number') {
        handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      }
      return handler;
    },
    HttpResponseStream,
    // CloudJIT's own: functions that run before a worker is saved, and in each of its copies.
    beforeSnapshot(hook) { hooks.before.push(hook); },
    afterRestore(hook) { hooks.after.push(hook); },
  };
}

const hooks = { before: [], after: [] };

async function load(root, name) {
  if (name.includes('..')) {
    throw new RuntimeError('MalformedHandlerName', `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(name);
  const folder = name.substring(0, name.indexOf(last));
  const parts = /^([^.]*)\.(.*)$/.exec(last);
  if (!parts) {
    throw new RuntimeError('MalformedHandlerName', 'Bad handler');
  }
  offerGlobals();
  let app;
  try {
    app = await loadModule(root, folder, parts[1]);
  } catch (e) {
    if (e instanceof SyntaxError) {
      throw new RuntimeError('UserCodeSyntaxError', e);
    }
    if (e?.code === 'MODULE_NOT_FOUND') {
      throw new RuntimeError('ImportModuleError', e);
    }
    throw e;
  }
  const handler = parts[2].split('.').reduce((nested, key) => nested && nested[key], app);
  if (!handler) {
    throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  }
  const mode = handler[STREAMING];
  if (mode && mode !== 'response') {
    throw new RuntimeError('MalformedStreamingHandler', 'Only response streaming is supported.');
  }
  return handler;
}

// --- Invocations ---

// What happens when nothing keeps the process alive any more, and when an error is caught by nobody.
let whenIdle = () => {};
let whenLost = (e, code) => api.fail('init/error', e).finally(() => process.exit(code));

const json = (text, name) => {
  if (text === undefined) {
    return undefined;
  }
  try {
    return parse(text);
  } catch (e) {
    throw new Error(`Cannot parse ${name} as json: ${e}`);
  }
};

function fill(context, headers) {
  const env = process.env;
  const trace = headers['lambda-runtime-trace-id'];
  if (trace) {
    env._X_AMZN_TRACE_ID = trace;
  } else {
    delete env._X_AMZN_TRACE_ID;
  }
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return Object.assign(context, {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: json(headers['lambda-runtime-client-context'], 'ClientContext'),
    identity: json(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  });
}

/** Asks for the next event, and runs the handler for it. before: a request to send in the same write. */
function next(handler, before) {
  whenIdle = () => {};
  api.keep(true);
  const ask = api.head('GET', 'invocation/next');
  if (before) {
    api.socket?.cork();
  }
  const answered = before && api.ask(before);
  const asked = api.ask(ask);
  if (before) {
    const socket = api.socket;
    socket.uncork();
    answered.catch(lost);
  }
  asked.then(async (response) => {
    api.keep(false);
    if ('lambda-runtime-checkpoint' in response.headers) {
      await checkpoint();
      next(handler);
      return;
    }
    if (response.status !== 200) {
      throw new Error(`the Runtime API answered ${response.status} to the request for an invocation: ${response.body}`);
    }
    globalThis[REQUEST] = response.headers['lambda-runtime-aws-request-id'];
    globalThis[TENANT] = response.headers['lambda-runtime-aws-tenant-id'];
    // Outside of this promise: what a handler throws synchronously somewhere is not its matter.
    setImmediate(() => (handler[STREAMING] ? stream : run)(handler, response.headers, response.body));
  }).catch(lost);
}

/** The Runtime API has failed: nothing can be told to anybody. */
function lost(e) {
  process.stderr.write(`The Runtime API failed: ${e?.message}\n`);
  process.exit(2);
}

function setErrorHandlers(id) {
  whenLost = (e, code) => api.fail(`invocation/${id}/error`, e).finally(() => process.exit(code));
}

function run(handler, headers, event) {
  const id = headers['lambda-runtime-aws-request-id'];
  let waits = true;
  let done = false;

  const respond = (result) => {
    if (done) {
      console.error('Invocation has already been reported as done. Cannot call complete more than once per invocation.');
      return;
    }
    let body;
    try {
      body = stringify(result === undefined ? null : result);
    } catch {
      throw new Error('Unable to stringify response body');
    }
    done = true;
    body ??= 'null'; // of a function or a symbol
    next(handler, api.head('POST', `invocation/${id}/response`, 'Content-Type: application/json\r\n', Buffer.byteLength(body)) + body);
  };
  const fail = (e) => {
    logError('Invoke Error', e);
    whenIdle = () => {};
    api.keep(true);
    api.fail(`invocation/${id}/error`, e).then(() => next(handler), lost);
  };
  const finish = (e, result) => {
    whenIdle = () => {};
    if (e !== undefined && e !== null) {
      fail(e);
    } else {
      respond(result);
    }
  };
  let finished = false;
  const once = (f) => (...args) => {
    if (!finished) {
      f(...args);
      finished = true;
    }
  };
  const callback = once((e, result) => {
    if (e !== undefined && e !== null || !waits) {
      finish(e, result);
    } else {
      whenIdle = () => setImmediate(() => {
        whenIdle = () => {};
        respond(result);
      });
    }
  });
  const context = {
    get callbackWaitsForEmptyEventLoop() { return waits; },
    set callbackWaitsForEmptyEventLoop(value) { waits = value; },
    succeed: once((result) => finish(null, result)),
    fail: once((e) => finish(e === undefined || e === null ? 'handled' : e, null)),
    done: once(finish),
  };
  try {
    setErrorHandlers(id);
    whenIdle = () => { // it neither called back nor returned a promise that settles
      finished = true;
      respond(null);
    };
    const result = handler(parse(event), fill(context, headers), callback);
    if (result && result.then && typeof result.then === 'function') {
      result.then(context.succeed, context.fail).catch(context.fail);
    }
  } catch (e) {
    callback(e);
  }
}

/** A stream that becomes the answer, chunk by chunk (chunked transfer coding, RFC 9112). */
function responseStream(id, highWaterMark) {
  const { Writable } = require('stream');
  let kind = 'application/octet-stream';
  let begun = false;
  let trailer = '';
  let resolve;
  const answered = new Promise((r) => { resolve = r; });
  const send = (chunk, sent) => {
    if (!begun) {
      begun = true;
      const head = api.head('POST', `invocation/${id}/response`, 'Lambda-Runtime-Function-Response-Mode: streaming\r\n'
        + 'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n'
        + `Content-Type: ${kind}\r\nTransfer-Encoding: chunked\r\n`);
      if (api.socket === null) {
        api.connect();
      }
      // It is not sent again: what was written is gone.
      api.asked.push({ request: null, attempts: 0, resolve, reject: resolve });
      api.socket.write(head);
    }
    const socket = api.socket;
    if (socket === null) { // the platform does not want more of it
      sent();
      return;
    }
    if (chunk.length === 0) {
      sent();
      return;
    }
    socket.cork();
    socket.write(chunk.length.toString(16) + '\r\n');
    socket.write(chunk);
    socket.write('\r\n', () => sent());
    socket.uncork();
  };
  const stream = new Writable({
    highWaterMark,
    write(chunk, _, sent) { send(chunk, sent); },
    final(sent) {
      send(Buffer.alloc(0), () => {});
      if (api.socket !== null) {
        api.socket.write(`0\r\n${trailer}\r\n`);
      }
      sent();
    },
  });
  const plain = stream.write;
  stream.setContentType = (value) => {
    if (begun) {
      throw new RuntimeError('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    }
    kind = String(value).replace(/[\r\n]/g, ' ');
  };
  let first = true;
  stream.write = function (chunk, ...rest) {
    if (typeof chunk !== 'string' && !Buffer.isBuffer(chunk) && !(chunk instanceof Uint8Array)) {
      chunk = stringify(chunk);
    }
    if (first) {
      first = false;
      if (typeof stream._onBeforeFirstWrite === 'function') {
        stream._onBeforeFirstWrite((c) => plain.call(stream, c));
      }
    }
    return plain.call(this, chunk, ...rest);
  };
  const end = stream.end;
  stream.end = function (chunk, ...rest) {
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') {
      stream.write(chunk, ...rest.filter((x) => typeof x === 'string'));
      return end.call(this, ...rest.filter((x) => typeof x === 'function'));
    }
    return end.call(this, ...[chunk, ...rest].filter((x) => typeof x === 'function'));
  };
  return {
    stream,
    answered,
    fail(e) {
      const doc = document(intoError(e) === e ? e : e);
      trailer = `Lambda-Runtime-Function-Error-Type: ${String(doc.errorType).replace(/[^\x21-\x7e]/g, '?')}\r\n`
        + `Lambda-Runtime-Function-Error-Body: ${Buffer.from(stringify(doc)).toString('base64')}\r\n`;
      if (!stream.writableEnded && !stream.destroyed) {
        end.call(stream);
      } else if (!stream.writableFinished && api.socket !== null) {
        if (!begun) {
          send(Buffer.alloc(0), () => {});
        }
        api.socket.write(`0\r\n${trailer}\r\n`);
      }
      return answered;
    },
  };
}

async function stream(handler, headers, event) {
  const id = headers['lambda-runtime-aws-request-id'];
  let waits = true;
  const context = {
    get callbackWaitsForEmptyEventLoop() { return waits; },
    set callbackWaitsForEmptyEventLoop(value) { waits = value; },
  };
  const mark = Number(handler[HIGH_WATER_MARK]);
  const out = responseStream(id, Number.isFinite(mark) ? mark : undefined);
  out.stream.on('error', () => {}); // of a stream that is destroyed, which the handler's promise tells
  let over = false;
  const end = () => {
    if (over) {
      return;
    }
    over = true;
    if (waits) {
      whenIdle = () => setImmediate(() => next(handler));
    } else {
      next(handler);
    }
  };
  const fail = (e) => {
    logError('Invoke Error', e);
    whenIdle = () => {};
    api.keep(true);
    out.fail(e).then(() => {
      api.keep(false);
      end();
    });
  };
  try {
    setErrorHandlers(id);
    let settled = false;
    whenIdle = () => {
      if (!settled) {
        settled = true;
        fail('Response stream is not finished.');
      }
    };
    const result = handler(parse(event), out.stream, fill(context, headers));
    if (!(result && result.then && typeof result.then === 'function')) {
      fail('Streaming does not support non-async handlers.');
      return;
    }
    if (await result !== undefined) {
      console.warn('Streaming handlers ignore return values.');
    }
    if (settled) {
      return;
    }
    if (out.stream.writableEnded) {
      settled = true;
      api.keep(true);
      await out.answered;
      api.keep(false);
      end();
    } else {
      out.answered.then(() => {
        settled = true;
        end();
      });
    }
  } catch (e) {
    fail(e);
  }
}

// --- Snapshots ---

let copies;

async function checkpoint() {
  let kind = 'Runtime.BeforeSnapshotError';
  api.keep(true);
  try {
    await copies?.before(hooks.before);
    const response = await api.ask(api.head('GET', 'restore/next'));
    if (response.status !== 200) {
      throw new Error(`the Runtime API answered ${response.status} to restore/next`);
    }
    for (const [name, value] of new URLSearchParams(response.headers['lambda-runtime-environment'] ?? '')) {
      process.env[name] = value;
    }
    kind = 'Runtime.AfterRestoreError';
    await copies?.after(hooks.after);
  } catch (e) {
    logError('Restore Error', e);
    const told = intoError(e);
    Object.defineProperty(told, 'name', { value: kind, configurable: true });
    await api.fail('restore/error', told);
    process.exit(65);
  }
}

async function main() {
  patchConsole();
  process.on('uncaughtException', (e) => {
    logError('Uncaught Exception', e);
    api.keep(true);
    whenLost(e, 129);
  });
  process.on('unhandledRejection', (reason, promise) => {
    const e = new RuntimeError('UnhandledPromiseRejection', reason);
    Object.assign(e, { reason, promise });
    logError('Unhandled Promise Rejection', e);
    api.keep(true);
    whenLost(e, 128);
  });
  process.on('beforeExit', () => whenIdle());
  if (process.argv[2] === '--savable') {
    process.argv.splice(2, 1);
    copies = require('./checkpoint.js');
  }
  let handler;
  try {
    handler = await load(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  } catch (e) {
    logError('Uncaught Exception', e);
    api.keep(true);
    whenLost(e, 129);
    return;
  }
  next(handler);
}

main();
