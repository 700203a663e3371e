package postgres

import "github.com/strongroom-kms/strongroom/quota"

// counted is what a limit is compared with. The name is what the database's
// function quota_room knows it by.
type counted struct {
	name     string
	resource quota.Resource
}

var (
	countedSecrets            = counted{"secrets", quota.Secrets}
	countedContainers         = counted{"containers", quota.Containers}
	countedOrders             = counted{"orders", quota.Orders}
	countedSecretConsumers    = counted{"secret consumers", quota.Consumers}
	countedContainerConsumers = counted{"container consumers", quota.Consumers}
)

// room is a CTE of that name, with one row that says whether a project has room
// for one more: free. Whatever makes something that is counted selects from it,
// WHERE room.free. project and now are parameters, most the parameter with the
// operator's default (limit).
//
// A project without a limit pays for one look at project_quotas. One with a
// limit takes its turn: those who make the same in the same project follow one
// another until they commit.
func room(what counted, project, most, now string) string {
	limit := `coalesce(q.` + string(what.resource) + `, ` + most + `::bigint)`
	return `
		room AS (
			SELECT CASE WHEN ` + limit + ` < 0 THEN true
				ELSE quota_room(` + project + `, '` + what.name + `', ` + limit + `, ` + now + `) END AS free
			FROM (VALUES (true)) one LEFT JOIN project_quotas q ON q.project = ` + project + `
		)`
}

// limit is the operator's default for what, as an argument.
func (db *DB) limit(what counted) int64 { return db.quotas.Of(what.resource) }
