package secret_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/secret"
)

const (
	lower = "abcdefghijklmnopqrstuvwxyz"
	digit = "0123456789"
	signs = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		rules  secret.PasswordRules
		length int
		of     string
		each   []string
	}{
		{"none", secret.PasswordRules{}, 32, lower + strings.ToUpper(lower) + digit + signs, nil},
		{"the shortest of all classes", secret.PasswordRules{Length: 8, EachClass: true, Space: true}, 8,
			lower + strings.ToUpper(lower) + digit + signs + " ", []string{lower, strings.ToUpper(lower), digit, signs, " "}},
		{"no signs", secret.PasswordRules{Length: 16, NoPunctuation: true, EachClass: true}, 16,
			lower + strings.ToUpper(lower) + digit, []string{lower, strings.ToUpper(lower), digit}},
		{"one class", secret.PasswordRules{Length: 128, NoPunctuation: true, NoLowercase: true, NoUppercase: true, EachClass: true}, 128, digit, []string{digit}},
		{"little is left", secret.PasswordRules{Length: 8, Exclude: lower[1:] + digit[1:] + signs[1:] + strings.ToUpper(lower)[1:], EachClass: true}, 8,
			"aA0!", []string{"a", "A", "0", "!"}},
		{"beyond ASCII is excluded by itself", secret.PasswordRules{NoPunctuation: true, NoNumbers: true, NoUppercase: true, Exclude: "é\x00b"}, 32, "a" + lower[2:], nil},
		{"spaces alone", secret.PasswordRules{Length: 9, Space: true, NoLowercase: true, NoUppercase: true, NoNumbers: true, NoPunctuation: true}, 9, " ", nil},
	} {
		seen := map[string]bool{}
		for range 50 {
			p, err := tc.rules.Generate()
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			text := string(p.Reveal())
			if len(text) != tc.length || strings.Trim(text, tc.of) != "" {
				t.Errorf("%s: a password of other characters, or of length %d", tc.name, len(text))
			}
			for _, class := range tc.each {
				if !strings.ContainsAny(text, class) {
					t.Errorf("%s: nothing of a class", tc.name)
				}
			}
			seen[text] = true
		}
		if len(seen) < 50 && len(tc.of) > 4 {
			t.Errorf("%s: a password came twice", tc.name)
		}
	}
}

func TestPasswordRulesThatNothingFulfils(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]secret.PasswordRules{
		"too short":        {Length: 7},
		"too long":         {Length: 129},
		"less than none":   {Length: -1},
		"no class":         {NoLowercase: true, NoUppercase: true, NoNumbers: true, NoPunctuation: true},
		"all excluded":     {Exclude: lower + strings.ToUpper(lower) + digit + signs},
		"a class excluded": {Exclude: digit, EachClass: true},
	} {
		if _, err := rules.Generate(); !errors.Is(err, secret.ErrPasswordRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (secret.PasswordRules{Exclude: digit}).Generate(); err != nil {
		t.Errorf("a class that nobody asked for: %v", err)
	}
}

// No character is likelier
// than another, by chi square at one in a million.
func TestPasswordCharactersAreEquallyLikely(t *testing.T) {
	t.Parallel()
	rules := secret.PasswordRules{Length: 128}
	count := map[byte]int{}
	const passwords = 1000
	for range passwords {
		p, err := rules.Generate()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Reveal() {
			count[c]++
		}
	}
	expected := float64(passwords*128) / 94
	var chi float64
	for _, n := range count {
		chi += math.Pow(float64(n)-expected, 2) / expected
	}
	if len(count) != 94 || chi > 170 { // 93 degrees of freedom
		t.Errorf("%d characters, chi square %.0f", len(count), chi)
	}
}
