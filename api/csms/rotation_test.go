package csms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/secret"
)

const tasks = "/v1/" + ours + "/csms/tasks"

// database makes a secret of one or two accounts, and the administrator's.
func (rm *room) database(name, kind, subType string, more map[string]any, accounts ...string) {
	rm.Helper()
	if rm.do("GET", base+"/db-admin", "").status != 200 {
		rm.create(jsonText(map[string]any{"name": "db-admin", "secret_string": `{"username":"root","password":"r"}`})).ok()
	}
	var list []map[string]string
	for _, a := range accounts {
		rm.backEnd.passwords[a] = "first of " + a
		list = append(list, map[string]string{"name": a, "password": "first of " + a})
	}
	body := map[string]any{
		"name": name, "secret_type": kind, "secret_string": jsonText(map[string]any{"users": list, "port": 5432}),
		"rotation_config": `{"InstanceId":"i","SecretSubType":"` + subType + `"}`,
	}
	for k, v := range more {
		body[k] = v
	}
	rm.create(jsonText(body)).ok()
}

// current is the first account of the current value, and the version.
func (rm *room) user(name, version string) (user, password string) {
	rm.Helper()
	var v struct {
		Users []struct{ Name, Password string }
		Port  int
	}
	text, _ := rm.do("GET", base+"/"+name+"/versions/"+version, "").ok().at("version", "secret_string").(string)
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Port != 5432 {
		rm.Fatalf("%v in a value of %d bytes", err, len(text))
	}
	return v.Users[0].Name, v.Users[0].Password
}

func (rm *room) stage(name, stage string) string {
	rm.Helper()
	v, _ := rm.do("GET", base+"/"+name+"/stages/"+stage, "").at("stage", "version_id").(string)
	return v
}

func TestRotateCommon(t *testing.T) { // CSMS-129
	rm := open(t)
	rm.secret("demo", "x")
	if a := rm.do("POST", base+"/demo/rotate", "").fault(400, "CSMS.0908"); !a.nested {
		t.Errorf("%s: a fault of rotate is inside error", a.raw)
	}
	rm.do("POST", base+"/none/rotate", "").fault(404, "CSMS.0106")
	rm.as("nora").do("POST", base+"/demo/rotate", "").fault(403, "CSMS.0302")
}

func TestRotateSingleUser(t *testing.T) { // CSMS-130, CSMS-133, CSMS-136
	for _, kind := range []string{"RDS", "RDS-FG", "GaussDB-FG"} {
		rm := open(t)
		rm.database("demo", kind, "SingleUser", map[string]any{"rotation_period": "1d", "auto_rotation": true}, "app")
		a := rm.do("POST", base+"/demo/rotate", "not looked at").ok()
		a.wants(`"v2"`, "version_id").wants(`"demo"`, "secret_name")
		id := a.at("rotation_task_id").(string)
		rm.do("GET", tasks+"?task_id="+id, "").ok().wants("1", "total").wants(`"`+id+`"`, "tasks", 0, "task_id").
			wants(`"ROTATING"`, "tasks", 0, "task_status").wants(`"demo"`, "tasks", 0, "secret_name").wants(`"manual"`, "tasks", 0, "operate_type").
			wants("null", "next_marker").wants(`""`, "tasks", 0, "task_error_code").wants(`""`, "tasks", 0, "rotation_func_urn")
		if got := rm.stage("demo", "SYSPENDING") + rm.stage("demo", "SYSCURRENT"); got != "v2v1" {
			t.Error(got)
		}
		if a := rm.do("POST", base+"/demo/rotate", "").fault(409, "CSMS.0909"); !a.nested {
			t.Error(a.raw)
		}
		// Nobody moves the stage away below a rotation.
		rm.do("DELETE", base+"/demo/stages/SYSPENDING", "").fault(400, "CSMS.0105")
		rm.do("PUT", base+"/demo/stages/SYSPENDING", `{"version_id":"v1"}`).fault(409, "CSMS.0909")
		rm.do("POST", base+"/demo/versions", jsonText(map[string]any{
			"secret_string": `{"users":[{"name":"app","password":"x"}]}`, "version_stages": []string{"SYSPENDING"},
		})).fault(409, "CSMS.0909")

		rm.clock.pass(time.Minute)
		rm.work()
		rm.do("GET", tasks+"?task_id="+id, "").ok().wants(`"SUCCESS"`, "tasks", 0, "task_status").wants("1", "tasks", 0, "attempt_nums")
		user, password := rm.user("demo", "latest")
		if user != "app" || !strings.HasPrefix(password, "fresh-") || rm.backEnd.passwords["app"] != password {
			t.Errorf("%s's password is not what its database has", user)
		}
		if got := rm.stage("demo", "SYSCURRENT") + rm.stage("demo", "SYSPREVIOUS") + rm.stage("demo", "SYSPENDING"); got != "v2v1" {
			t.Error(got)
		}
		now := rm.clock.now().UnixMilli()
		rm.do("GET", base+"/demo", "").ok().wants(fmt.Sprint(now), "secret", "rotation_time").wants(fmt.Sprint(now+24*3600*1000), "secret", "next_rotation_time")
		// What no rotation holds may go.
		rm.do("PUT", base+"/demo/stages/SYSPENDING", `{"version_id":"v1"}`).ok()
		if a := rm.do("DELETE", base+"/demo/stages/SYSPENDING", ""); a.status != 204 {
			t.Error(a.status, a.raw)
		}
	}
}

func TestRotateMultiUser(t *testing.T) { // CSMS-131
	rm := open(t)
	rm.database("demo", "RDS", "MultiUser", nil, "one", "two")
	rotate := func() (was, is string) {
		was, _ = rm.user("demo", rm.stage("demo", "SYSCURRENT"))
		rm.do("POST", base+"/demo/rotate", "").ok()
		rm.work()
		is, _ = rm.user("demo", rm.stage("demo", "SYSCURRENT"))
		return was, is
	}
	rotate()
	for range 3 {
		before, _ := rm.user("demo", rm.stage("demo", "SYSPREVIOUS"))
		if was, is := rotate(); is != before || was == is {
			t.Errorf("%s after %s, before whom it was %s", is, was, before)
		}
	}
	rm.do("GET", tasks, "").ok().wants("4", "total")
}

func TestRotationFails(t *testing.T) { // CSMS-132
	rm := open(t)
	rm.database("demo", "RDS", "SingleUser", nil, "app")
	rm.backEnd.broken = true
	id := rm.do("POST", base+"/demo/rotate", "").ok().at("rotation_task_id").(string)
	rm.work()
	rm.do("GET", tasks+"?task_id="+id, "").ok().wants(`"FAILED"`, "tasks", 0, "task_status").wants(`"CSMS.0912"`, "tasks", 0, "task_error_code").
		wants(`"the instance refused to set the password"`, "tasks", 0, "task_error_msg")
	if got := rm.stage("demo", "SYSCURRENT") + rm.stage("demo", "SYSPREVIOUS") + rm.stage("demo", "SYSPENDING"); got != "v1" {
		t.Error(got)
	}
	rm.do("GET", base+"/demo/versions", "").ok().wants("1", "page_info", "current_count")
	rm.do("GET", base+"/demo", "").ok().wants("null", "secret", "rotation_time")

	// Numbers are not used twice.
	rm.backEnd.broken = false
	rm.do("POST", base+"/demo/rotate", "").ok().wants(`"v3"`, "version_id")
	rm.work()
	rm.do("GET", tasks+"?status=SUCCESS", "").ok().wants("1", "total")

	// An instance that nobody configured is known at once.
	rm.create(`{"name":"far","secret_type":"RDS","secret_string":"{'users':[{'name':'u','password':'p'}]}","rotation_config":"{'rds_instance_id':'unknown','Secret_sub_type':'SingleUser'}"}`).ok()
	rm.do("POST", base+"/far/rotate", "").fault(400, "CSMS.0912")
	rm.pend("far")
	rm.change("demo", func(s *secret.Secret) { s.State = "DISABLED" })
	rm.do("POST", base+"/demo/rotate", "").fault(403, "CSMS.0109")
}

func TestTasks(t *testing.T) { // CSMS-134, CSMS-135
	rm := open(t)
	rm.database("demo", "RDS", "SingleUser", nil, "app")
	rm.database("other", "RDS", "SingleUser", nil, "app2")
	var ids []string
	for _, name := range []string{"demo", "other", "demo", "demo"} {
		ids = append(ids, rm.do("POST", base+"/"+name+"/rotate", "").ok().at("rotation_task_id").(string))
		rm.work()
		rm.clock.pass(time.Second)
	}
	rm.do("GET", tasks+"?task_id="+ids[0]+"&status=FAILED", "").fault(400, "CSMS.0002")
	for _, q := range []string{
		"task_id=" + ids[0] + "&secret_name=demo", "task_id=" + ids[0] + "&limit=1", "task_id=" + ids[0] + "&marker=" + ids[1], "task_id=x",
		"status=ROTATING", "status=success", "limit=0", "limit=1001", "limit=x", "marker=x", "secret_name=%20", "marker=%00",
	} {
		rm.do("GET", tasks+"?"+q, "").fault(400, "CSMS.0002")
	}
	rm.do("GET", tasks+"?%zz", "").fault(400, "CSMS.0003")

	// Newest first, page by page.
	marker := ""
	for _, want := range []string{ids[3], ids[2], ids[0]} {
		a := rm.do("GET", tasks+"?secret_name=demo&limit=1&marker="+marker, "").ok().wants("3", "total").wants(`"`+want+`"`, "tasks", 0, "task_id")
		marker, _ = a.at("next_marker").(string)
		if (marker == "") != (want == ids[0]) {
			t.Errorf("next_marker %q after %s", marker, want)
		}
	}
	rm.do("GET", tasks+"?secret_name=demo&limit=1&marker="+ids[0], "").ok().wants("[]", "tasks").wants("null", "next_marker")
	rm.do("GET", tasks+"?secret_name=none", "").ok().wants("0", "total").wants("[]", "tasks")
	rm.do("GET", tasks+"?task_id="+"00000000-0000-4000-8000-ffffffffffff", "").ok().wants("[]", "tasks")
	rm.do("GET", tasks+"?status=FAILED", "").ok().wants("0", "total")
	rm.do("GET", tasks+"?status=SUCCESS&limit=2", "").ok().wants("4", "total")
	rm.as("nora").do("GET", tasks, "").fault(403, "CSMS.0302")
}

func TestRotationByItself(t *testing.T) { // CSMS-137
	rm := open(t)
	auto := map[string]any{"auto_rotation": true, "rotation_period": "6h"}
	rm.database("demo", "RDS", "SingleUser", auto, "app")
	rm.create(jsonText(map[string]any{"name": "plain", "secret_string": "x", "auto_rotation": true, "rotation_period": "6h"})).ok()
	rm.work()
	rm.do("GET", tasks, "").ok().wants("0", "total")
	rm.clock.pass(6 * time.Hour)
	for range 3 {
		rm.work()
	}
	rm.do("GET", tasks+"?secret_name=demo", "").ok().wants("1", "total").wants(`"auto"`, "tasks", 0, "operate_type").wants(`"SUCCESS"`, "tasks", 0, "task_status")
	if got := rm.stage("demo", "SYSCURRENT"); got != "v2" {
		t.Error(got)
	}
	// What nothing can rotate says so, and waits for the next period.
	rm.do("GET", tasks+"?secret_name=plain", "").ok().wants("1", "total").wants(`"FAILED"`, "tasks", 0, "task_status").wants(`"CSMS.0912"`, "tasks", 0, "task_error_code")
	next := rm.clock.now().Add(6 * time.Hour).UnixMilli()
	rm.do("GET", base+"/plain", "").ok().wants(fmt.Sprint(next), "secret", "next_rotation_time").wants("null", "secret", "rotation_time")
	rm.do("GET", base+"/demo", "").ok().wants(fmt.Sprint(next), "secret", "next_rotation_time")

	// After a failure it is a period until the next one, too.
	rm.backEnd.broken = true
	rm.clock.pass(6 * time.Hour)
	for range 3 {
		rm.work()
	}
	rm.do("GET", tasks+"?secret_name=demo", "").ok().wants("2", "total").wants(`"FAILED"`, "tasks", 0, "task_status")
	rm.do("GET", base+"/demo", "").ok().wants(fmt.Sprint(rm.clock.now().Add(6*time.Hour).UnixMilli()), "secret", "next_rotation_time")

	// Not while it may not be used.
	rm.pend("demo")
	rm.clock.pass(6 * time.Hour)
	rm.work()
	rm.do("GET", tasks+"?secret_name=demo", "").ok().wants("2", "total")
}
