package inbox

import "time"

// Line is one activity of a conversation, as one reader sees it. Seq grows in the
// order of acceptance and has holes.
type Line struct {
	Seq        uint64
	ActivityID string
}

// Membership is what a person's devices have shown of an MLS group by sending in it.
type Membership struct {
	Epoch uint64    // the highest they have sent in
	At    time.Time // when that was noted
}

// LocalReader names a local person as the reader of a conversation. Anybody else is
// named by their actor id.
func LocalReader(o Owner) string { return "#" + string(o) }
