package postgres

import "testing"

func TestHowNamesBegin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, start string
		exact          bool
		successor      string
	}{
		{"", "", true, ""},
		{"db", "db", true, "dc"},
		{"db%", "db", false, "dc"},
		{"db_1", "db", false, "dc"},
		{"%db", "", false, ""},
		{`d\%b%`, "d%b", false, "d%c"},
		{`db\`, `db\`, true, `db]`},
		{`db\\`, `db\`, true, `db]`},
		{"sch\u00fc%", "sch\u00fc", false, "sch\u00fd"},
		{"a\ud7ff%", "a\ud7ff", false, "a\ue000"},
		{"a\U0010ffff%", "a\U0010ffff", false, "b"},
		{"\U0010ffff%", "\U0010ffff", false, ""},
	} {
		start, exact := literal(tc.pattern)
		if start != tc.start || exact != tc.exact || successor(start) != tc.successor {
			t.Errorf("%q: begins with %q, before %q, exact: %v; want %q, %q, %v",
				tc.pattern, start, successor(start), exact, tc.start, tc.successor, tc.exact)
		}
	}
}
