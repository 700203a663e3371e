package hsmtest_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
)

func TestMemory(t *testing.T) {
	m := new(hsmtest.Memory)
	hsmtest.Run(t, hsmtest.Options{
		Damaged: func(err error) bool { return fault.KindOf(err) == fault.Damaged },
		Missing: func(err error) bool { return fault.KindOf(err) == fault.Unavailable },
		Quick:   true,
	}, func(*testing.T) hsmtest.Token { return m })
}

func TestMemoryGoesAwayAndComesBack(t *testing.T) {
	m := new(hsmtest.Memory)
	made, err := m.Generate(t.Context(), key.Spec{ID: hsmtest.NewID(t), CanaryAAD: []byte("canary")})
	if err != nil {
		t.Fatal(err)
	}
	m.SetAway(true)
	if got, err := m.Check(t.Context(), made.Ref); got != key.CheckUnknown || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Check = %v, %v", got, err)
	}
	if st, err := m.Status(t.Context()); err != nil || st.Usable() {
		t.Errorf("Status = %+v, %v", st, err)
	}
	m.SetAway(false)
	if got, err := m.Check(t.Context(), made.Ref); got != key.OK || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	if n := m.Calls(); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}
