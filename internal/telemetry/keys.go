package telemetry

// Keys of log attributes: one name for one thing, everywhere.
const (
	KeyFunction = "function"
	KeyRevision = "revision"
	KeyVersion  = "version"
	KeyWorker   = "worker"
	KeyTier     = "tier"
	KeyRequest  = "request"
	KeyReason   = "reason"
	KeyOutcome  = "outcome"
	KeyBuild    = "build"
	KeyLevel    = "level"
	KeyDuration = "duration"
	KeyError    = "error"
)
