package telemetry

// Keys of log attributes: one name for one thing, everywhere.
const (
	KeyFunction  = "function"
	KeyRevision  = "revision"
	KeyWorker    = "worker"
	KeyRung      = "rung"
	KeyRecording = "recording"
	KeyReason    = "reason"
	KeyOutcome   = "outcome"
	KeyBuild     = "build"
	KeyDuration  = "duration"
	KeyError     = "error"
)
