package csms_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/quota"
)

// CSMS-048. A name that is taken and a body that is wrong are told first, and
// the refusal is on record.
func TestSecretQuota(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.store.Quotas = quota.Limits{quota.Secrets: 1}
	rm.secret("demo", "x")
	before := len(rm.record.events)
	rm.create(`{"name":"more","secret_string":"x"}`).fault(400, "CSMS.0202")
	events := rm.record.events[before:]
	if len(events) != 1 || events[0].Outcome != audit.Refused || events[0].Target.Name != "more" {
		t.Errorf("recorded %+v", events)
	}
	rm.create(`{"name":"demo","secret_string":"x"}`).fault(409, "CSMS.0101")
	rm.create(`{"name":"more"}`).fault(400, "CSMS.0002")
	rm.do("DELETE", base+"/demo", "").ok()
	rm.secret("more", "x")
}
