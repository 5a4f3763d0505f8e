package policy

// of is what a policy remembers of a revision, in a table that grows as it must. The pointer is good until
// the next call.
func of[T any](table *[]T, r RevisionID) *T {
	if more := int(r) + 1 - len(*table); more > 0 {
		*table = append(*table, make([]T, max(64, more, len(*table)))...)
	}
	return &(*table)[r]
}
