package secret

import (
	"strconv"
	"time"
)

const (
	minPeriod = 6 * time.Hour
	maxPeriod = 365 * 24 * time.Hour
)

var periodUnits = map[byte]time.Duration{
	'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second,
}

// ParsePeriod reads a rotation period: a number without a leading zero and one
// unit, between 6 hours and 365 days (csms.md §7.1). Anything else is
// ErrPeriod.
func ParsePeriod(text string) (time.Duration, error) {
	if len(text) < 2 || len(text) > 50 || text[0] < '1' || text[0] > '9' {
		return 0, ErrPeriod
	}
	unit, known := periodUnits[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 64)
	if err != nil || !known || n > uint64(maxPeriod/unit) {
		return 0, ErrPeriod
	}
	if d := time.Duration(n) * unit; d >= minPeriod {
		return d, nil
	}
	return 0, ErrPeriod
}

// schedule returns r with its next rotation, or ErrPeriod where r rotates by
// itself without saying how often.
func (r Rotation) schedule(now time.Time) (Rotation, error) {
	r.Next = nil
	if r.Period == "" && !r.Auto {
		return r, nil
	}
	d, err := ParsePeriod(r.Period)
	if err != nil {
		return r, err
	}
	if r.Auto {
		next := now.Add(d)
		r.Next = &next
	}
	return r, nil
}
