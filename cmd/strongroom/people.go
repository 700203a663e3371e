package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

func userCommand() *cobra.Command {
	o := &operator{}
	c := group("user", "Users of the built-in identity")
	o.flags(c)
	var project, passwordFile string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a user", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			secret, err := readPassword(passwordFile)
			if err != nil {
				return err
			}
			defer secret.Wipe()
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				in := realm.UserChange{Name: &args[0], Password: &secret}
				if project != "" {
					p, err := projectNamed(ctx, r, who, project)
					if err != nil {
						return err
					}
					in.DefaultProject = &p.ID
				}
				u, err := r.CreateUser(ctx, who, in)
				if err != nil {
					return err
				}
				return o.print(c.OutOrStdout(), []string{"id", "name"}, [][]string{{string(u.ID), u.Name}})
			})
		},
	}
	create.Flags().StringVar(&project, "project", "", "project of a login that names none")
	create.Flags().StringVar(&passwordFile, "password-file", "", "file with the password, - for standard input")
	c.AddCommand(create, userListCommand(o), userSetCommand(o), userDeleteCommand(o))
	return c
}

func userListCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List users", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				users, err := r.Users(ctx, who, realm.UserQuery{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, u := range users {
					rows = append(rows, []string{string(u.ID), u.Name, strconv.FormatBool(u.Enabled)})
				}
				return o.print(c.OutOrStdout(), []string{"id", "name", "enabled"}, rows)
			})
		},
	}
}

func userSetCommand(o *operator) *cobra.Command {
	var passwordFile string
	var enable, disable bool
	set := &cobra.Command{
		Use: "set NAME", Short: "Change a user's password, enable or disable one", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			var in realm.UserChange
			if enable || disable {
				in.Enabled = &enable
			} else {
				secret, err := readPassword(passwordFile)
				if err != nil {
					return err
				}
				defer secret.Wipe()
				in.Password = &secret
			}
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, args[0])
				if err != nil {
					return err
				}
				_, err = r.UpdateUser(ctx, who, u.ID, in)
				return err
			})
		},
	}
	set.Flags().StringVar(&passwordFile, "password-file", "", "file with the new password, - for standard input")
	set.Flags().BoolVar(&enable, "enable", false, "let the user in")
	set.Flags().BoolVar(&disable, "disable", false, "let the user in no more; its access tokens end")
	set.MarkFlagsMutuallyExclusive("password-file", "enable", "disable")
	return set
}

func userDeleteCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a user with all its credentials", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, args[0])
				if err != nil {
					return err
				}
				return r.DeleteUser(ctx, who, u.ID)
			})
		},
	}
}

func projectCommand() *cobra.Command {
	o := &operator{}
	c := group("project", "Projects of the built-in identity")
	o.flags(c)
	c.AddCommand(
		&cobra.Command{
			Use: "create NAME", Short: "Make a project", Args: oneArg("the project's name"),
			RunE: func(c *cobra.Command, args []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					p, err := r.CreateProject(ctx, who, realm.ProjectChange{Name: &args[0]})
					if err != nil {
						return err
					}
					return o.print(c.OutOrStdout(), []string{"id", "name"}, [][]string{{string(p.ID), p.Name}})
				})
			},
		},
		&cobra.Command{
			Use: "list", Short: "List projects", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					projects, err := r.Projects(ctx, who, realm.ProjectQuery{})
					if err != nil {
						return err
					}
					var rows [][]string
					for _, p := range projects {
						rows = append(rows, []string{string(p.ID), p.Name, strconv.FormatBool(p.Enabled)})
					}
					return o.print(c.OutOrStdout(), []string{"id", "name", "enabled"}, rows)
				})
			},
		},
		&cobra.Command{
			Use: "delete NAME", Short: "Delete a project's identity; its secrets stay, unreachable", Args: oneArg("the project's name"),
			RunE: func(c *cobra.Command, args []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					p, err := projectNamed(ctx, r, who, args[0])
					if err != nil {
						return err
					}
					return r.DeleteProject(ctx, who, p.ID)
				})
			},
		},
	)
	return c
}
