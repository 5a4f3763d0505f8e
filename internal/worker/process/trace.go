package process

// TraceFile is what the tracer writes in Spec.RecordDir.
const TraceFile = "reachability-metadata.json"

// maxTrace is the largest trace that is read; real ones have some hundred kilobytes.
const maxTrace = 8 << 20
