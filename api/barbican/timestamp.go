package barbican

import (
	"time"
)

// formatTime is how this API writes a time: UTC, no zone, microseconds unless
// they are zero (§7.3). A client's parser fails on anything more.
func formatTime(t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05")
	}
	return t.Format("2006-01-02T15:04:05.000000")
}

// parseTime reads ISO 8601 as this API takes it: a year, a month, or a day
// with or without a time of day and a zone. No zone means UTC. The result is
// in UTC, in microseconds, and in years that formatTime can write.
func parseTime(text string) (time.Time, bool) {
	s := scanner{rest: text}
	c := s.calendar()
	if s.failed || s.rest != "" {
		return time.Time{}, false
	}
	t := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nano, time.UTC)
	// time.Date normalises what does not exist; such a day is another day then.
	if t.Day() != c.day || t.Hour() != c.hour || t.Minute() != c.minute || t.Second() != c.second {
		return time.Time{}, false
	}
	t = t.Add(-c.offset)
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// fields are the parts of a time as they were written.
type fields struct {
	year, month, day, hour, minute, second, nano int
	offset                                       time.Duration // east of UTC
}

// scanner takes a text apart from the left. After a failure it stays failed
// and its results mean nothing.
type scanner struct {
	rest   string
	failed bool
}

// skip takes one of the bytes in set, if it is next.
func (s *scanner) skip(set string) bool {
	if s.rest == "" {
		return false
	}
	for i := range len(set) {
		if s.rest[0] == set[i] {
			s.rest = s.rest[1:]
			return true
		}
	}
	return false
}

// number takes at least low and at most high digits.
func (s *scanner) number(low, high int) int {
	n, taken := 0, 0
	for taken < high && taken < len(s.rest) && isDigit(s.rest[taken]) {
		n = n*10 + int(s.rest[taken]-'0')
		taken++
	}
	if taken < low {
		s.failed = true
		return 0
	}
	s.rest = s.rest[taken:]
	return n
}

func (s *scanner) nextIsDigit() bool { return s.rest != "" && isDigit(s.rest[0]) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// calendar takes 2040, 2040-01, 2040-1-1 or 20400101, the last two with an
// optional time after T or one blank.
func (s *scanner) calendar() fields {
	f := fields{month: 1, day: 1}
	f.year = s.number(4, 4)
	switch {
	case s.skip("-"):
		f.month = s.number(1, 2)
		if !s.skip("-") {
			break
		}
		f.day = s.number(1, 2)
		s.clock(&f)
	case s.nextIsDigit():
		f.month, f.day = s.number(2, 2), s.number(2, 2)
		s.clock(&f)
	}
	if f.month < 1 || f.month > 12 {
		s.failed = true
	}
	return f
}

// clock takes an hour, then perhaps minutes, seconds and a fraction, with or
// without colons, then perhaps a zone.
func (s *scanner) clock(f *fields) {
	if !s.skip("T ") {
		return
	}
	f.hour = s.number(2, 2)
	if s.skip(":") || s.nextIsDigit() {
		f.minute = s.number(2, 2)
		if s.skip(":") || s.nextIsDigit() {
			f.second = s.number(2, 2)
			if s.skip(".,") {
				f.nano = s.fraction()
			}
		}
	}
	f.offset = s.zone()
}

// fraction takes any number of digits and keeps microseconds.
func (s *scanner) fraction() int {
	if !s.nextIsDigit() {
		s.failed = true
		return 0
	}
	nano := 0
	for unit := 100_000_000; s.nextIsDigit(); unit /= 10 {
		digit := s.number(1, 1)
		if unit >= 1000 {
			nano += digit * unit
		}
	}
	return nano
}

// zone takes Z, +05, +0530, +05:30 or nothing.
func (s *scanner) zone() time.Duration {
	sign := time.Duration(1)
	switch {
	case s.skip("Z"):
		return 0
	case s.skip("+"):
	case s.skip("-"):
		sign = -1
	default:
		return 0
	}
	hours, minutes := s.number(2, 2), 0
	if s.skip(":") || s.nextIsDigit() {
		minutes = s.number(2, 2)
	}
	if hours > 23 || minutes > 59 {
		s.failed = true
	}
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute)
}
