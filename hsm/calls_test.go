package hsm

import (
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// A call is used again. What sweep or fail said of one that was not sent must
// not answer the next one.
func TestWithdrawnCallLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, quicker := range map[string]func(*calls){
		"nobody": func(*calls) {},
		"sweep":  func(cs *calls) { cs.sweep(time.Now().Add(time.Second)) },
		"fail":   func(cs *calls) { cs.fail(errGarbage) },
	} {
		t.Run(name, func(t *testing.T) {
			var cs calls
			cs.init()
			c := newCall(frame.Wrap)
			if _, err := cs.add(c, time.Now(), limits{soft: time.Millisecond, hard: time.Hour}); err != nil {
				t.Fatal(err)
			}
			quicker(&cs)
			cs.withdraw(c)
			if len(c.done) != 0 || len(cs.open) != 0 {
				t.Errorf("%d answers and %d calls are left", len(c.done), len(cs.open))
			}
		})
	}
}
