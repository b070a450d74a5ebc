/** Files of packaging/ that are compiled in as texts. */
declare module "*/vsockbox-agent.service" {
  const text: string;
  export default text;
}
declare module "*/openrc/vsockbox-agent" {
  const text: string;
  export default text;
}
