package huawei

import (
	"slices"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/model"
)

func ptr[T any](v T) *T { return &v }

// here is what the SDK's values are wanted to be.
func (j *journey) here(what string, got, want any) {
	j.Helper()
	if got != want {
		j.Errorf("%s is %v, want %v", what, got, want)
	}
}

var notification = &model.Notification{TargetType: "SMN", TargetId: "urn:smn:cn-north-4:x:conformance", TargetName: "conformance"}

// steps call every operation at least once. Numbers are the vendor's.
var steps = slices.Concat(eventSteps, secretSteps, versionSteps, tagSteps, rotationSteps, deletionSteps, cloudSteps)

var eventSteps = []step{
	{op: "CreateSecretEvent", status: 200, request: func(j *journey) any { // 18
		return &model.CreateSecretEventRequest{Body: &model.CreateSecretEventRequestBody{
			Name: j.name, State: model.GetCreateSecretEventRequestBodyStateEnum().ENABLED, Notification: notification,
			EventTypes: []model.CreateSecretEventRequestBodyEventTypes{model.GetCreateSecretEventRequestBodyEventTypesEnum().SECRET_VERSION_CREATED},
		}}
	}, check: func(j *journey, r any) {
		j.here("event", *r.(*model.CreateSecretEventResponse).Event.Name, j.name)
	}},
	{op: "ListSecretEvents", status: 200, request: func(*journey) any { // 19
		return &model.ListSecretEventsRequest{Limit: ptr("1000")}
	}, check: func(j *journey, r any) {
		if !slices.ContainsFunc(*r.(*model.ListSecretEventsResponse).Events, func(e model.Event) bool { return *e.Name == j.name }) {
			j.Errorf("the list of events is %v", r)
		}
	}},
	{op: "ShowSecretEvent", status: 200, request: func(j *journey) any { // 20
		return &model.ShowSecretEventRequest{EventName: j.name}
	}, check: func(j *journey, r any) {
		j.here("target", *r.(*model.ShowSecretEventResponse).Event.Notification, *notification)
	}},
	{op: "UpdateSecretEvent", status: 200, request: func(j *journey) any { // 21
		return &model.UpdateSecretEventRequest{EventName: j.name, Body: &model.UpdateSecretEventRequestBody{
			EventTypes: &[]model.UpdateSecretEventRequestBodyEventTypes{
				model.GetUpdateSecretEventRequestBodyEventTypesEnum().SECRET_VERSION_CREATED,
				model.GetUpdateSecretEventRequestBodyEventTypesEnum().SECRET_DELETED,
			},
		}}
	}, check: func(j *journey, r any) {
		j.here("event types", len(*r.(*model.UpdateSecretEventResponse).Event.EventTypes), 2)
	}},
}

var secretSteps = []step{
	{op: "GenerateRandomPassword", status: 200, request: func(*journey) any { // 31
		return &model.GenerateRandomPasswordRequest{Body: &model.CreatePasswordRequestBody{Length: ptr(int32(16)), ExcludePunctuation: ptr(true)}}
	}, check: func(j *journey, r any) {
		j.here("length of the password", len(*r.(*model.GenerateRandomPasswordResponse).Password), 16)
	}},
	{op: "CreateSecret", status: 200, request: func(j *journey) any { // 1
		return &model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{
			Name: j.name, SecretString: ptr("one"), EventSubscriptions: j.subscription(),
		}}
	}, check: func(j *journey, r any) {
		s := r.(*model.CreateSecretResponse).Secret
		j.id = *s.Id
		if want := j.subscription(); want != nil && !slices.Equal(*s.EventSubscriptions, *want) {
			j.Errorf("subscribed to %v", *s.EventSubscriptions)
		}
	}},
	{op: "CreateSecret", status: 409, code: "CSMS.0101", request: func(j *journey) any {
		return &model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{Name: j.name, SecretString: ptr("one")}}
	}},
	{op: "BatchImportSecrets", status: 200, request: func(j *journey) any { // 32
		return &model.BatchImportSecretsRequest{Body: &model.ImportSecretsRequest{Secrets: []model.CreateSecretRequestBody{
			{Name: j.name, SecretString: ptr("x")}, {Name: j.name + "-2", SecretString: ptr("x")},
		}}}
	}, check: func(j *journey, r any) {
		in := r.(*model.BatchImportSecretsResponse)
		j.here("total", *in.Total, int32(2))
		j.here("imported", *in.Success, int32(1))
		j.here("refused", *in.Failed, int32(1))
		j.here("refused one", (*in.ErrorList)[0].Name, j.name)
	}},
	{op: "ListSecrets", status: 200, request: func(j *journey) any { // 2
		return &model.ListSecretsRequest{EventName: &j.name}
	}, check: func(j *journey, r any) {
		list := *r.(*model.ListSecretsResponse).Secrets
		if len(list) != 1 || *list[0].Id != j.id {
			j.Errorf("subscribers are %v", list)
		}
	}},
	{op: "ShowSecret", status: 200, request: func(j *journey) any { // 3
		return &model.ShowSecretRequest{SecretName: j.id}
	}, check: func(j *journey, r any) { j.here("name", *r.(*model.ShowSecretResponse).Secret.Name, j.name) }},
	{op: "UpdateSecret", status: 200, request: func(j *journey) any { // 4
		return &model.UpdateSecretRequest{SecretName: j.name, Body: &model.UpdateSecretRequestBody{Description: ptr("described")}}
	}, check: func(j *journey, r any) {
		j.here("description", *r.(*model.UpdateSecretResponse).Secret.Description, "described")
	}},
}

var versionSteps = []step{
	{op: "CreateSecretVersion", status: 200, request: func(j *journey) any { // 11
		return &model.CreateSecretVersionRequest{SecretName: j.name, Body: &model.CreateSecretVersionRequestBody{SecretString: ptr("two")}}
	}, check: func(j *journey, r any) {
		j.here("version", *r.(*model.CreateSecretVersionResponse).VersionMetadata.Id, "v2")
	}},
	{op: "ListSecretVersions", status: 200, request: func(j *journey) any { // 12
		return &model.ListSecretVersionsRequest{SecretName: j.name}
	}, check: func(j *journey, r any) {
		j.here("versions", len(*r.(*model.ListSecretVersionsResponse).VersionMetadatas), 2)
	}},
	{op: "ShowSecretVersion", status: 200, request: func(j *journey) any { // 13
		return &model.ShowSecretVersionRequest{SecretName: j.name, VersionId: "latest"}
	}, check: func(j *journey, r any) {
		j.here("value", *r.(*model.ShowSecretVersionResponse).Version.SecretString, "two")
	}},
	{op: "UpdateVersion", status: 200, request: func(j *journey) any { // 14
		at := time.Now().Add(time.Hour).Unix() * 1000
		return &model.UpdateVersionRequest{SecretName: j.name, VersionId: "v2", Body: &model.UpdateVersionRequestBody{ExpireTime: at}}
	}, check: func(j *journey, r any) {
		if at := r.(*model.UpdateVersionResponse).VersionMetadata.ExpireTime; at == nil || time.Until(time.UnixMilli(*at)) < time.Minute {
			j.Errorf("expires at %v", at)
		}
	}},
	{op: "UpdateSecretStage", status: 200, request: func(j *journey) any { // 16
		return &model.UpdateSecretStageRequest{SecretName: j.name, StageName: "blue", Body: &model.UpdateSecretStageRequestBody{VersionId: "v1"}}
	}},
	{op: "ShowSecretStage", status: 200, request: func(j *journey) any { // 15
		return &model.ShowSecretStageRequest{SecretName: j.name, StageName: "blue"}
	}, check: func(j *journey, r any) { j.here("blue", *r.(*model.ShowSecretStageResponse).Stage.VersionId, "v1") }},
	{op: "DeleteSecretStage", status: 204, request: func(j *journey) any { // 17
		return &model.DeleteSecretStageRequest{SecretName: j.name, StageName: "blue"}
	}},
}

var tagSteps = []step{
	{op: "CreateSecretTag", status: 204, request: func(j *journey) any { // 24
		return &model.CreateSecretTagRequest{SecretId: j.id, Body: &model.CreateSecretTagRequestBody{Tag: &model.TagItem{Key: "env:prod x", Value: ptr("中/1")}}}
	}},
	{op: "BatchCreateOrDeleteTags", status: 204, request: func(j *journey) any { // 27
		return &model.BatchCreateOrDeleteTagsRequest{SecretId: j.id, Body: &model.BatchCreateOrDeleteTagsRequestBody{
			Action: "create", Tags: []model.TagItem{{Key: "a", Value: &j.name}, {Key: "b"}},
		}}
	}},
	{op: "ListSecretTags", status: 200, request: func(j *journey) any { // 25
		return &model.ListSecretTagsRequest{SecretId: j.id}
	}, check: func(j *journey, r any) { j.here("tags", len(*r.(*model.ListSecretTagsResponse).Tags), 3) }},
	{op: "DeleteSecretTag", status: 204, request: func(j *journey) any { // 26
		return &model.DeleteSecretTagRequest{SecretId: j.id, Key: "env:prod x"}
	}},
	{op: "ListProjectSecretsTags", status: 200, request: func(*journey) any { // 28
		return &model.ListProjectSecretsTagsRequest{}
	}, check: func(j *journey, r any) {
		if !slices.ContainsFunc(*r.(*model.ListProjectSecretsTagsResponse).Tags, func(t model.TagResponse) bool {
			return *t.Key == "a" && slices.Contains(*t.Values, j.name)
		}) {
			j.Errorf("the project's tags are %v", r)
		}
	}},
	{op: "ListResourceInstances", status: 200, request: func(j *journey) any { // 29
		return &model.ListResourceInstancesRequest{ResourceInstances: "resource_instances", Body: &model.ListResourceInstancesRequestBody{
			Action: "filter", Limit: ptr("10"), Offset: ptr("0"), Tags: &[]model.Tag{{Key: ptr("a"), Values: &[]string{j.name}}},
		}}
	}, check: func(j *journey, r any) {
		found := r.(*model.ListResourceInstancesResponse)
		j.here("total", *found.TotalCount, int32(1))
		j.here("found", *(*found.Resources)[0].ResourceId, j.id)
	}},
}

var rotationSteps = []step{
	{op: "RotateSecret", status: 400, code: "CSMS.0908", request: func(j *journey) any { // 8: a common secret has nothing to rotate it
		return &model.RotateSecretRequest{SecretName: j.name}
	}},
	{op: "ListSecretTask", status: 200, request: func(j *journey) any { // 30
		return &model.ListSecretTaskRequest{SecretName: &j.name}
	}, check: func(j *journey, r any) { j.here("tasks", len(*r.(*model.ListSecretTaskResponse).Tasks), 0) }},
}

var deletionSteps = []step{
	{op: "DownloadSecretBlob", status: 200, request: func(j *journey) any { // 9
		return &model.DownloadSecretBlobRequest{SecretName: j.name}
	}, check: func(j *journey, r any) { j.blob = *r.(*model.DownloadSecretBlobResponse).SecretBlob }},
	{op: "DeleteSecretForSchedule", status: 200, request: func(j *journey) any { // 6
		return &model.DeleteSecretForScheduleRequest{SecretName: j.name, Body: &model.DeleteSecretForScheduleRequestBody{RecoveryWindowInDays: 7}}
	}, check: func(j *journey, r any) {
		j.here("state", *r.(*model.DeleteSecretForScheduleResponse).Secret.State, "PENDING_DELETE")
	}},
	{op: "ShowSecretVersion", status: 400, code: "CSMS.0103", request: func(j *journey) any {
		return &model.ShowSecretVersionRequest{SecretName: j.name, VersionId: "v1"}
	}},
	{op: "RestoreSecret", status: 200, request: func(j *journey) any { // 7: what the SDK calls restoring is cancelling a deletion
		return &model.RestoreSecretRequest{SecretName: j.name}
	}, check: func(j *journey, r any) { j.here("state", *r.(*model.RestoreSecretResponse).Secret.State, "ENABLED") }},
	{op: "DeleteSecret", status: 200, request: func(j *journey) any { // 5
		return &model.DeleteSecretRequest{SecretName: j.name}
	}},
	{op: "UploadSecretBlob", status: 200, request: func(j *journey) any { // 10
		return &model.UploadSecretBlobRequest{Body: &model.UploadSecretBlobRequestBody{SecretBlob: j.blob}}
	}, check: func(j *journey, r any) { j.here("restored", *r.(*model.UploadSecretBlobResponse).Secret.Name, j.name) }},
	{op: "ShowSecretVersion", status: 200, request: func(j *journey) any {
		return &model.ShowSecretVersionRequest{SecretName: j.name, VersionId: "latest"}
	}, check: func(j *journey, r any) {
		j.here("restored value", *r.(*model.ShowSecretVersionResponse).Version.SecretString, "two")
	}},
	{op: "ListNotificationRecords", status: 200, request: func(*journey) any { // 23
		return &model.ListNotificationRecordsRequest{}
	}, check: func(j *journey, r any) {
		if !slices.ContainsFunc(*r.(*model.ListNotificationRecordsResponse).Records, func(r model.Record) bool { return *r.SecretName == j.name }) {
			j.Errorf("the records are %v", r)
		}
	}},
	{op: "DeleteSecretEvent", status: 400, code: "CSMS.0905", request: func(j *journey) any { // 22: the restored secret is subscribed
		return &model.DeleteSecretEventRequest{EventName: j.name}
	}},
	{op: "DeleteSecret", status: 200, request: func(j *journey) any {
		return &model.DeleteSecretRequest{SecretName: j.name}
	}},
	{op: "DeleteSecretEvent", status: 204, request: func(j *journey) any {
		return &model.DeleteSecretEventRequest{EventName: j.name}
	}},
}

// cloudSteps belong to the cloud; docs/dialects.md says why.
var cloudSteps = func() []step {
	grant := &model.GrantSecretReqBody{ResourceId: "x", Type: "SECRET", GranteeType: "0", GranteeTargetId: "x"}
	fg := model.GetShowAgencyRequestSecretTypeEnum().RDS_FG
	data := any(map[string]any{"password": "x"})
	var out []step
	for op, request := range map[string]any{
		"CheckSecrets":        &model.CheckSecretsRequest{Body: &model.CheckSecretsRequestBody{Type: "x", Data: &data}}, // 33
		"ShowSecretsConfig":   &model.ShowSecretsConfigRequest{},                                                        // 34
		"UpdateSecretsConfig": &model.UpdateSecretsConfigRequest{Body: &model.UpdateSecretsConfigRequestBody{}},         // 35
		"CreateGrants":        &model.CreateGrantsRequest{Body: grant},                                                  // 36
		"UpdateGrant":         &model.UpdateGrantRequest{ResourceId: "x", Body: grant},                                  // 37
		"ListGrants":          &model.ListGrantsRequest{ResourceId: "x"},                                                // 38
		"DeleteGrant":         &model.DeleteGrantRequest{ResourceId: "x"},                                               // 39
		"CreateAgency": &model.CreateAgencyRequest{Body: &model.CreateAgencyRequestBody{ // 40
			SecretType: model.GetCreateAgencyRequestBodySecretTypeEnum().RDS_FG}},
		"ShowAgency": &model.ShowAgencyRequest{SecretType: fg}, // 41
		"ShowSecretFunctionTemplates": &model.ShowSecretFunctionTemplatesRequest{ // 42
			SecretType:    model.GetShowSecretFunctionTemplatesRequestSecretTypeEnum().RDS_FG,
			SecretSubType: model.GetShowSecretFunctionTemplatesRequestSecretSubTypeEnum().SINGLE_USER},
		"ListUsers":          &model.ListUsersRequest{Limit: 10}, // 43
		"ShowUserDetail":     &model.ShowUserDetailRequest{UserId: "x"},
		"UpdateUserPassword": &model.UpdateUserPasswordRequest{Body: &model.ChangeUsersPassword{Password: "x", OldPassword: "y"}},
	} {
		out = append(out, step{op: op, status: 404, code: "APIGW.0101", request: func(*journey) any { return request }})
	}
	return out
}()
