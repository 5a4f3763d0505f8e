'use strict';
// What has to be done before the process is saved, and in each of its copies. Loaded before the function is.
//
// All copies begin with the same memory. V8 cannot be told to seed Math.random anew, so that it is another function here,
// whose state can be renewed; OpenSSL, and with it crypto and TLS, is made to ask the kernel for a new seed. What node and
// popular packages draw in advance (crypto.randomUUID, crypto.randomInt; the pools of uuid and nanoid) is drawn again.

const crypto = require('crypto');
const path = require('path');
const v8 = require('v8');
const vm = require('vm');

// --- Math.random ---

const state = new Int32Array(4); // xoshiro128++, https://prng.di.unimi.it
const fill = crypto.randomFillSync;

function seed() {
  do {
    fill(state);
  } while (!state.some((x) => x !== 0));
}

function draw() {
  const t = state[0] + state[3] | 0;
  const result = (t << 7 | t >>> 25) + state[0] | 0;
  const u = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= u;
  state[3] = state[3] << 11 | state[3] >>> 21;
  return result >>> 0;
}

seed();
Object.defineProperty(Math, 'random', {
  // 53 bits, as many as the numbers between 0 and 1 have.
  value: { random: () => ((draw() >>> 5) * 0x4000000 + (draw() >>> 6)) / 0x20000000000000 }.random,
  writable: true, enumerable: false, configurable: true,
});

// --- Pools of random bytes ---

// A buffer that is longer than any key, was filled at once and is still there is one that somebody takes numbers from.
const POOL = 129;
const pools = new Set(); // WeakRefs of what was filled

function note(array) {
  if (array?.byteLength >= POOL) {
    pools.add(new WeakRef(array));
  }
  return array;
}

function watch(object, name, receiver) {
  const original = object[name];
  Object.defineProperty(object, name, {
    value: { [name](array, ...rest) { return note(original.call(receiver, array, ...rest)); } }[name],
    writable: true, enumerable: true, configurable: true,
  });
}

watch(crypto, 'randomFillSync', crypto);
// Also what the module has of this name, and the global object crypto.
watch(Object.getPrototypeOf(crypto.webcrypto), 'getRandomValues', crypto.webcrypto);
require('module').syncBuiltinESMExports();

function redraw() {
  for (const ref of pools) {
    const array = ref.deref();
    if (array === undefined) {
      pools.delete(ref);
    } else {
      fill(array);
    }
  }
}

// How many node draws at once, and how many that makes (lib/internal/crypto/random.js).
const UUIDS = 128;
const INTS = 1024;

// --- OpenSSL ---

// Makes OpenSSL ask for a new seed each time that it is loaded; fails where node is made without OpenSSL.
function poll() {
  process.dlopen({ exports: {} }, path.join(__dirname, 'reseed.node'));
}

/** Makes this process another one than its siblings. */
function renew() {
  poll();
  seed();
  redraw();
  for (let i = 0; i < UUIDS; i++) {
    crypto.randomUUID();
  }
  for (let i = 0; i < INTS; i++) {
    crypto.randomInt(2);
  }
}

/** What is not used any more would be in every copy. */
function collect() {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  gc();
}

// A collection drops the code of functions that did not run for a while; in each copy it would be compiled again.
v8.setFlagsFromString('--no-flush-bytecode');

module.exports = {
  async before(hooks) {
    for (const hook of hooks.slice().reverse()) {
      await hook();
    }
    // What each copy does has been compiled then, and it is known that it can be done.
    renew();
    new URLSearchParams('a=b').get('a');
    collect();
  },

  async after(hooks) {
    renew();
    for (const hook of hooks) {
      await hook();
    }
  },
};
