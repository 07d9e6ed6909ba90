// The parts of Argo CD that the tests need, each under the name by which Argo CD's own binary is called: the stock
// main also links the web server, the command line, dex and notifications.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/argoproj/argo-cd/v3/common"
)

func main() {
	programs := map[string]func() *cobra.Command{
		common.CommandApplicationController:    controller.NewCommand,
		common.CommandApplicationSetController: applicationset.NewCommand,
		common.CommandRepoServer:               reposerver.NewCommand,
		"argocd-health":                        healthCommand,
		"argocd-redis":                         redisCommand,
	}
	name := filepath.Base(os.Args[0])
	program, known := programs[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: call this binary by the name of a part of Argo CD\n", name)
		os.Exit(64)
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if program().ExecuteContext(ended) != nil {
		os.Exit(1)
	}
}
