package telemetry

// Keys of log attributes: one name for one thing, everywhere.
const (
	KeyFunction = "function"
	KeyRevision = "revision"
	KeyWorker   = "worker"
	KeyTier     = "tier"
	KeyReason   = "reason"
	KeyOutcome  = "outcome"
	KeyBuild    = "build"
	KeyLevel    = "level"
	KeyDuration = "duration"
	KeyError    = "error"
)
