// Package pool keeps the workers of a node: which are starting, idle, busy and draining, in
// which order idle ones are used, expire and are evicted, and how much memory they reserve.
//
// It decides nothing about invocations or tiers, reads no clock and starts no worker: it is
// the bookkeeping under the engine, made of slices and intrusive lists so that no
// event allocates.
package pool

// WorkerID is the index of a worker; it is used again after the worker is gone.
type WorkerID int32
