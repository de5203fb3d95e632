"""`recsys operator`: what runs in a cluster. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from typing import Annotated

import typer

operator_app = typer.Typer(no_args_is_help=True, help="Run the operator, or print what installs it in a cluster.")

Namespaces = Annotated[
    list[str] | None, typer.Option("--namespace", "-n", help="Serve this namespace alone; may be given again.")
]


@operator_app.command()
def run(
    namespace: Namespaces = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of /healthz and /metrics.")] = 8081,
    lease_namespace: Annotated[
        str | None, typer.Option(help="Where the lease of the active replica is; default: the operator's own.")
    ] = None,
    canary_seconds: Annotated[
        float, typer.Option(min=1, help="Between two looks at the counters of a canary on trial.")
    ] = 10.0,
) -> None:
    """Reconcile RecommenderSystems, as the pod's service account or by the kubeconfig, until SIGTERM.

    Several replicas may run: one acts, the others wait for its lease.

      recsys operator run

      recsys operator run --namespace shop --namespace shop-staging
    """
    from recsys_operator.run import RunOptions
    from recsys_operator.run import run as serve

    raise typer.Exit(serve(RunOptions(tuple(namespace or ()), port, lease_namespace, canary_seconds)))


@operator_app.command()
def manifests(
    namespace: Namespaces = None,
    install_namespace: Annotated[
        str | None, typer.Option(help="Where the operator itself runs; default: recsys, or the first --namespace.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Instead of this release's image.")] = None,
) -> None:
    """Print what installs the operator: account, rights and Deployment. The resource's definition is `recsys crd`.

    recsys operator manifests | kubectl apply --server-side -f -

    recsys operator manifests --namespace shop | kubectl apply --server-side -f -
    """
    from recsys_operator.install import Installation, document

    typer.echo(document(Installation(tuple(namespace or ()), install_namespace, image)), nl=False)
